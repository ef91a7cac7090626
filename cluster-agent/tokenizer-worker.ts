/** The tokenizer's thread: one prompt at a time, so that the thread that serves requests does nothing of it. */
import { parentPort, workerData } from 'node:worker_threads'
import { markerCount, prefixMarkers } from '../core/prefix-markers.ts'
import { PromptWriter, type CanonicalPrompt } from '../core/prompt-bytes.ts'
import type { PromptApi } from '../protocol/apis.ts'
import { isObject, type JsonObject } from './handoff/json.ts'
import { answerTurns } from './prompt/answer-turn.ts'
import { certainUnder } from './prompt/understanding.ts'
import type {
  AnswerWork,
  TokenizerBatch,
  TokenizerReply,
  TokenizerResult,
  TokenizerSetup,
  TokenizerWork,
  Understood,
} from './tokenizer-message.ts'
import { ModelTokenizer } from './tokenizer.ts'

const { folders } = workerData as TokenizerSetup
const writer = new PromptWriter(new TextEncoder())
const decoder = new TextDecoder()
const tokenizers = new Map<string, Promise<ModelTokenizer>>()

/** Models may share a folder. */
function tokenizerOf(model: string): Promise<ModelTokenizer> {
  const folder = folders[model]
  if (folder === undefined) throw new Error(`no tokenizer files for ${model}`)
  const known = tokenizers.get(folder) ?? ModelTokenizer.read(folder)
  tokenizers.set(folder, known)
  return known
}

async function work(job: TokenizerWork): Promise<Understood[]> {
  const body: unknown = JSON.parse(decoder.decode(job.body))
  if (!isObject(body)) return []
  const tokenizer = await tokenizerOf(job.model)
  if (job.kind === 'answer') return learnAnswer(tokenizer, job, body)
  const written = writer.write(job.api, job.model, body)
  const understood = written.ok
    ? await understand(tokenizer, job.api, body, null, written.prompt, job.markers)
    : null
  return understood ? [understood] : []
}

async function learnAnswer(
  tokenizer: ModelTokenizer,
  { model, api, key, answer, isStream }: AnswerWork,
  body: JsonObject,
): Promise<Understood[]> {
  const all: Understood[] = []
  for (const turn of answerTurns(api, body, decoder.decode(answer), isStream)) {
    const written = writer.write(api, model, turn.body)
    if (!written.ok) continue
    const { prompt } = written
    const markers = new Uint32Array(prefixMarkers(prompt.bytes, prompt.messageEnds, key))
    const understood = await understand(tokenizer, api, turn.body, turn.next, prompt, markers)
    if (understood) all.push(understood)
  }
  return all
}

async function understand(
  tokenizer: ModelTokenizer,
  api: PromptApi,
  body: JsonObject,
  next: 'user' | 'tool' | null,
  canonical: CanonicalPrompt,
  markers: Uint32Array<ArrayBuffer>,
): Promise<Understood | null> {
  // Not its bytes, which are good until the wait: the writer's buffer is everybody's.
  const { messageEnds, segments } = canonical
  const promptBytes = canonical.bytes.length
  const prompt = await tokenizer.tokenize(api, body, next)
  if (!prompt) return null
  const offsets = Array.from({ length: markerCount(markers) }, (_, i) => markers[i * 3] ?? 0)
  const certain = Uint32Array.from(certainUnder(prompt, { messageEnds, segments }, offsets))
  const isWhole = prompt.rendered.knownUnits === prompt.rendered.text.length
  const tokens = new Uint32Array(prompt.tokens)
  return { tokens, markers, certain, promptBytes: isWhole ? promptBytes : 0 }
}

const port = parentPort
if (!port) throw new Error('this is the entry of a thread')
let last: Promise<void> = Promise.resolve()
port.on('message', ({ id, works }: TokenizerBatch) => {
  last = last.then(async () => {
    const results: TokenizerResult[] = []
    for (const one of works) results.push(await resultOf(one))
    const moved = results.flatMap((result) => ('understood' in result ? result.understood : []))
    const buffers = moved.flatMap((one) => [one.tokens.buffer, one.markers.buffer, one.certain.buffer])
    port.postMessage({ id, results } satisfies TokenizerReply, [...new Set(buffers)])
  })
})

async function resultOf(one: TokenizerWork): Promise<TokenizerResult> {
  try {
    return { understood: await work(one) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}
