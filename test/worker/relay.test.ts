import { afterEach, describe, expect, test, vi } from 'vitest'
import { CHAT, newWorld, silence, status, stream, type Serve } from './edge-world.ts'

afterEach(() => {
  vi.unstubAllGlobals()
})

const STREAM = { body: { ...CHAT, stream: true } }
const EVENTS = ['data: {"n":1}\n\n', 'data: [DONE]\n\n']

/** Answers once `release` is called. */
function held(serve: Serve): { serve: Serve; release: () => void } {
  let release = () => undefined as void
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  return { serve: async (arrival) => (await released, serve(arrival)), release: () => release() }
}

async function readComment(response: Response) {
  const reader = response.body!.getReader()
  const { value } = await reader.read()
  return { reader, text: new TextDecoder().decode(value) }
}

async function readRest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text
    text += new TextDecoder().decode(value)
  }
}

const dataOf = (text: string) => text.split('\n\n').filter((event) => event.startsWith('data: '))

test('a quick stream passes as it is, with its true status', async () => {
  const world = newWorld({ serve: { 'us-east-1': () => stream(...EVENTS) } })
  const answer = await world.ask(STREAM)
  expect(answer.text).toBe(EVENTS.join(''))
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
  expect(answer.receipt).toMatchObject({ cluster: 'us-east-1' })
  const refused = await newWorld({ serve: { 'us-east-1': status(400) } }).ask(STREAM)
  expect(refused.status).toBe(400)
})

describe('a stream that is late is opened by the edge', () => {
  test('with comments until it comes, and nothing else added', async () => {
    const late = held(() => stream(...EVENTS))
    const world = newWorld({ serve: { 'us-east-1': late.serve } })
    const response = await world.fetch(STREAM)
    expect(response.status).toBe(200)
    expect(response.headers.get('x-isotherm-route')).toMatch(/cluster=us-east-1/)
    expect(response.headers.get('x-request-id')).not.toBeNull()
    const { reader, text } = await readComment(response)
    expect(text).toMatch(/^: .*\n\n$/)
    late.release()
    const rest = await readRest(reader)
    expect(rest.replaceAll(/^: .*\n\n/gm, '')).toBe(EVENTS.join(''))
  })

  test.each([
    ['an error of the cluster', status(400), /"code":"c"/],
    ['no JSON', () => new Response('<html>', { status: 404 }), /status 404/],
    ['an answer that is no stream', () => Response.json({ object: 'chat.completion' }), /status 200/],
  ])('%s becomes an event', async (_, answer, pattern) => {
    const late = held(answer)
    const world = newWorld({ serve: { 'us-east-1': late.serve } })
    const response = await world.fetch(STREAM)
    const { reader } = await readComment(response)
    late.release()
    const events = dataOf(await readRest(reader))
    expect(events).toEqual([expect.stringMatching(pattern), 'data: [DONE]'])
    expect(events[0]).toMatch(/^data: \{"error":/)
  })

  test('all clusters failing becomes an event', async () => {
    const late = held(status(500))
    const serve = { 'us-east-1': late.serve, 'eu-central-1': status(500), 'ap-northeast-1': status(500) }
    const response = await newWorld({ serve }).fetch(STREAM)
    const { reader } = await readComment(response)
    late.release()
    expect(dataOf(await readRest(reader))).toEqual([expect.stringMatching(/upstream_failed/), 'data: [DONE]'])
  })

  test('another cluster than the headers promised names itself in a comment', async () => {
    const late = held(status(500))
    const serve = { 'us-east-1': late.serve, 'eu-central-1': () => stream(...EVENTS) }
    const response = await newWorld({ serve }).fetch(STREAM)
    const { reader } = await readComment(response)
    late.release()
    const rest = await readRest(reader)
    expect(rest).toMatch(/^: x-isotherm-route cluster=eu-central-1.*attempt=2.*$/m)
    expect(dataOf(rest).join('\n\n')).toBe(EVENTS.join('').trim())
  })

  test('a client that leaves frees the cluster', async () => {
    const world = newWorld({ serve: { 'us-east-1': silence } })
    const response = await world.fetch(STREAM)
    const { reader } = await readComment(response)
    expect(world.arrivals[0]?.signal.aborted).toBe(false)
    await reader.cancel()
    await vi.waitFor(() => expect(world.arrivals[0]?.signal.aborted).toBe(true), {
      timeout: 5000,
      interval: 20,
    })
    expect(world.arrivals).toHaveLength(1)
  })
})

test('a client that leaves in mid-stream stops the stream at its source', async () => {
  let isCancelled = false
  const endless = () => {
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        controller.enqueue(new TextEncoder().encode('data: {}\n\n'))
      },
      cancel: () => {
        isCancelled = true
      },
    })
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
  }
  const world = newWorld({ serve: { 'us-east-1': endless } })
  const { reader } = await readComment(await world.fetch(STREAM))
  await reader.cancel()
  await vi.waitFor(() => expect(isCancelled).toBe(true), { timeout: 5000, interval: 20 })
})
