/**
 * GRIFFIN Lab: everything that notebooks, experiments and tasks use, grouped by what a reader wants to do.
 *
 * @example Build a small program and run it
 * ```ts
 * import { input, matmul, openOnnxBackend, program, softmax } from "./mod.ts";
 *
 * using backend = await openOnnxBackend();
 * const x = input("x", [2, 3]), w = input("w", [3, 4]);
 * using executable = await backend.compile(program({ y: softmax(matmul(x, w)) }));
 * const { y } = await executable.run({
 *   x: backend.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]),
 *   w: backend.tensor(new Float32Array(12).fill(0.1), [3, 4]),
 * });
 * console.log(y.shape, await y.read()); // [2, 4], rows that sum to 1
 * ```
 *
 * @example Decode a prompt plainly and with a draft
 * ```ts
 * import { dynamicGrowth, encodePrompt, loadTarget, loadTokenizer, openOnnxBackend } from "./mod.ts";
 * import { readDraft, record, speculate, TargetDecoder, tau, TreeDrafter } from "./mod.ts";
 *
 * using backend = await openOnnxBackend();
 * const target = await loadTarget("data/target", { backend });
 * const tokenizer = await loadTokenizer("data/target");
 * const prompt = encodePrompt(tokenizer, [{ role: "user", content: "Ada has 3 pens and buys 4. How many?" }]);
 * using decoder = new TargetDecoder(target, { backend });
 * const draft = await readDraft("data/draft", { target }), growth = dynamicGrowth({ depth: 4, width: 3, budget: 8 });
 * using drafter = new TreeDrafter(draft, { backend, target, growth });
 * const generation = await record(speculate(decoder, prompt, { drafter, maxTokens: 32 }));
 * console.log(tokenizer.decode(generation.tokens), tau([generation]).value);
 * ```
 *
 * @module
 */

// Graphs: a program is data.
export type { DType, Node, Shape } from "./graph/node.ts";
export * from "./graph/ops.ts";
export {
  adamw,
  argmaxRows,
  crossEntropy,
  expand,
  logSoftmax,
  processRows,
  quantizedMatmul,
  rmsNorm,
  rope,
  type RowSampling,
  sampleRows,
  silu,
  smoothL1,
  softmax,
  streamAttention,
  treeAttention,
} from "./graph/composites.ts";
export { gradients } from "./graph/gradients.ts";
export { printProgram, type Program, program } from "./graph/program.ts";

// Backends: the same program, run.
export {
  type Backend,
  type Executable,
  type Params,
  type Tensor,
  zeros,
} from "./backend/backend.ts";
export { type OnnxBackend, openOnnxBackend } from "./backend/onnx/backend.ts";
export { type Device, device, openBackend } from "./backend/choose.ts";
export { openWebGpuBackend, type WebGpuBackend } from "./backend/webgpu/backend.ts";
export { printShaders } from "./backend/webgpu/print.ts";
export { referenceBackend } from "./backend/reference.ts";

// Models and their files.
export type { DraftConfig, TargetConfig } from "./model/config.ts";
export { countParameters, draftProgram, draftShapes, fuse, splitHead } from "./model/draft.ts";
export { targetProgram, targetShapes } from "./model/llama.ts";
export {
  type Draft,
  type FrozenTarget,
  loadFrozen,
  loadTarget,
  readDraft,
  type Target,
  writeDraft,
} from "./model/load.ts";
export { exportDraft, readShared } from "./model/export.ts";
export { draftModels } from "./model/export_onnx.ts";
export { embedModel } from "./backend/onnx/export.ts";
export { openCheckpoint } from "./io/checkpoint.ts";
export { openSafetensors, writeSafetensors } from "./io/safetensors.ts";

// Models by name.
export { fetchModel, type HubEvent, modelFolder, remoteModel } from "./hub/model.ts";
export { modelNameOf } from "./hub/name.ts";
export { type HubSettings, hubSettings } from "./hub/settings.ts";

// Text and data.
export { loadTokenizer, type Tokenizer } from "./text/tokenizer.ts";
export { encodeConversation, encodePrompt, lossMask, type Message } from "./text/chat.ts";
export { type Prompt, prompts, takePrompts } from "./data/prompts.ts";
export { loadSuite, type Suite } from "./data/suites.ts";
export { answerPrompts } from "./data/answers.ts";
export { generateData } from "./data/generate.ts";
export {
  type Examples,
  openExamples,
  type StoredExamples,
  type TrainingExample,
} from "./data/features.ts";
export { onlineExamples } from "./data/online.ts";
export { convertShards } from "./data/convert.ts";

// Training.
export { checkRecipe, DEFAULT_RECIPE, LOSS_WEIGHTS, type Recipe } from "./train/recipe.ts";
export { eagle3Taps, type Preset, type PresetName, PRESETS } from "./train/presets.ts";
export {
  alignedAttention,
  alignmentMask,
  type AttentionRule,
  type MaskRule,
  rootedAttention,
} from "./train/align.ts";
export { frequentTokens } from "./train/vocabulary.ts";
export { initialDraft } from "./train/initial.ts";
export { buildPasses } from "./train/passes.ts";
export { trainingProgram } from "./train/step.ts";
export { inspectAlignment } from "./train/inspect.ts";
export { train } from "./train/train.ts";
export { trainSteps } from "./train/steps.ts";

// Decoding.
export { checkSampling, GREEDY, processLogits, type Sampling } from "./decode/sample.ts";
export { type Growth, growTree } from "./decode/tree.ts";
export {
  chainGrowth,
  dynamicGrowth,
  fromAuthorsFlags,
  staticGrowth,
  type TreeShape,
} from "./decode/growth.ts";
export { ancestorMask, depthsOf, pathsOf, type Tree } from "./decode/ancestry.ts";
export { chanceFrom, verifyDrawn, verifyGreedy, verifySampled } from "./decode/verify.ts";
export { TargetDecoder } from "./decode/target.ts";
export { type Drafter, NO_DRAFTER } from "./decode/drafter.ts";
export { TreeDrafter } from "./decode/tree_drafter.ts";
export { promptLookup } from "./decode/prompt_lookup.ts";
export { textBeforeStop } from "./decode/ending.ts";
export { generate, speculate } from "./decode/generate.ts";
export { speculateAll } from "./decode/batch.ts";
export { ResidentDecoder } from "./decode/resident_decoder.ts";
export { random } from "./random.ts";

// Serving.
export { Drafters } from "./serve/drafters.ts";
export { type ChatModel, reply } from "./serve/reply.ts";
export { type ChatServer, openChatServer } from "./serve/server.ts";

// Evaluation and reports.
export { evaluate, record } from "./eval/run.ts";
export { decodePrompts, estimateTau, promptsOf } from "./eval/tau.ts";
export {
  acceptanceByDepth,
  type Generation,
  type PromptResult,
  speedup,
  tau,
  tauUpstream,
} from "./eval/metrics.ts";
export { tauSpecForge, tauVllm } from "./eval/tau_definitions.ts";
export { bootstrap, insideNoise, smallestDetectable } from "./eval/stats.ts";
export { type Counts, estimateDifference, estimateRatio } from "./eval/two_level.ts";
export { recordDrafts, type Recording } from "./eval/recording.ts";
export { readRecording, recordingSubject, writeRecording } from "./eval/recording_file.ts";
export { countMisses, predict, simulate } from "./eval/simulate.ts";
export { sweep, type SweepRow } from "./eval/sweep.ts";
export { knownCosts, measureCosts } from "./bench/costs.ts";
export { autoGrowth } from "./decode/tree_size.ts";
export { measureMachine } from "./bench/machine_rates.ts";
export { countTarget, featureBytes, planDecoding, planTraining, totalBytes } from "./bench/plan.ts";
export { countFlops } from "./graph/count.ts";
export { readTargetConfig } from "./model/config.ts";
export { type SuiteSummary, summarize } from "./eval/summary.ts";
export type {
  Arm,
  Experiment,
  Measure,
  MeasuredTree,
  PaperTable,
  Settings,
} from "./experiment/experiment.ts";
export { planExperiment } from "./experiment/plan.ts";
export { heldOutPrompts, type Lab, runExperiment } from "./experiment/run.ts";
export { readResults, type Results, type Row, writeResults } from "./experiment/rows.ts";
export { type ArmSummary, summarizeResults } from "./experiment/summary.ts";
export { formatResults, tabulate } from "./experiment/table.ts";
export type { GenerationEvent, StepEvent, TrainingEvent } from "./report/events.ts";
export * from "./report/figures.ts";
export * from "./report/study_figures.ts";
export { type Stages, trainingFigure } from "./report/training_figures.ts";
export { inspectedShares, inspectMask } from "./report/mask_inspector.ts";
export { drawTree, fates } from "./report/tree_drawing.ts";
export { drawFigure } from "./report/svg_chart.ts";
export { type LiveFigure, liveFigure, show } from "./report/show.ts";
export { sizeMap } from "./report/sweep_page.ts";
export { readTrace, toGeneration, type Trace } from "./report/trace.ts";
export { openTrace } from "./report/trace_writer.ts";
export { formatTable } from "./report/table.ts";
export { writeFileAtomic } from "./io/atomic.ts";
export { type Page, renderPage } from "./report/page.ts";
export { renderMarkdown } from "./report/page_markdown.ts";
export { readStoredRun, type StoredRun } from "./report/stored_run.ts";
export { evaluationReport } from "./report/evaluation_report.ts";
export { trainingReport } from "./report/training_report.ts";
export { evaluationComparison } from "./report/comparison.ts";
export { evaluationRows, experimentRows, type RunRow, trainingRows } from "./report/rows.ts";
export { queryRows } from "./report/query.ts";
export { readEnvironment } from "./report/environment.ts";
