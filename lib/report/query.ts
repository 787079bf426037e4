/**
 * SQL over rows of runs, by the SQLite that comes with the runtime: nothing to install. The table is called `rows`, in
 * memory, gone afterwards. Other programs read the same rows as JSON lines: `rows.ts`.
 */
import { DatabaseSync } from "node:sqlite";
import { COLUMNS, type RunRow } from "./rows.ts";

/** A row of a result, by column. */
export type QueryRow = Record<string, string | number | null>;

/** The result of one query over the rows. @throws with SQLite's words when it cannot be run. */
export function queryRows(rows: Iterable<RunRow>, sql: string): QueryRow[] {
  const names = Object.keys(COLUMNS) as (keyof RunRow)[];
  const database = new DatabaseSync(":memory:");
  try {
    const columns = Object.entries(COLUMNS).map(([name, type]) => `${name} ${type}`);
    database.exec(`CREATE TABLE rows (${columns.join(", ")})`);
    const insert = database.prepare(`INSERT INTO rows VALUES (${names.map(() => "?").join(", ")})`);
    database.exec("BEGIN");
    for (const row of rows) insert.run(...names.map((name) => row[name]));
    database.exec("COMMIT");
    return database.prepare(sql).all() as QueryRow[];
  } catch (cause) {
    throw new Error(`Cannot run the query: ${(cause as Error).message}; the table is rows`, {
      cause,
    });
  } finally {
    database.close();
  }
}
