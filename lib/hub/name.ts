/**
 * Is it a folder, or the name of a model on the hub? `ORG/NAME`, or `ORG/NAME@REVISION` with a branch, tag or commit.
 * A folder that exists always wins. What a name then leads to: `model.ts`.
 */
import { existsSync } from "node:fs";

/** A model on the hub. */
export interface ModelName {
  /** `ORG/NAME`. */
  id: string;
  /** Branch, tag or commit. */
  revision: string;
}

const PART = "[A-Za-z0-9_][A-Za-z0-9_.-]*";
const NAME = new RegExp(`^(${PART}/${PART})(?:@(.*))?$`);
const REVISION = /^[\w][\w./-]*$/;
/** A commit, which never changes; other revisions move. */
export const COMMIT = /^[0-9a-f]{40}$/;

/**
 * The name that a text is, or `undefined` where it is a path: of a folder or file that exists, or one that no name
 * could be.
 * @throws when the text could be both and is neither: `data/targt` beside a folder `data`; or a revision is none.
 */
export function modelNameOf(given: string): ModelName | undefined {
  if (existsSync(given)) return undefined;
  const [, id, revision] = NAME.exec(given) ?? [];
  if (id === undefined || /\.\.|--|\.git$/.test(id)) return undefined;
  if (revision !== undefined && (!REVISION.test(revision) || revision.includes(".."))) {
    throw new Error(`Cannot use ${given}: after the @ a branch, tag or commit is wanted`);
  }
  const [first] = id.split("/");
  if (revision === undefined && existsSync(first)) {
    throw new Error(
      `Cannot find ${given}: ${first} is a folder here and holds no such model; ` +
        `${given}@main would be the model of that name on the hub`,
    );
  }
  return { id, revision: revision ?? "main" };
}

/** How a model is written where it is to be found again: `ORG/NAME@COMMIT`. */
export const formatName = ({ id, revision }: ModelName): string => `${id}@${revision}`;
