import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import { LOSSES_MAX, TokenizerThread } from '../../cluster-agent/tokenizer-thread.ts'

const ODD = new URL('../support/odd-tokenizer.ts', import.meta.url)
const log = pino({ level: 'silent' })
let thread: TokenizerThread
afterEach(() => thread.stop())

const start = (workMsMax: number) => (thread = new TokenizerThread({ folders: {} }, log, workMsMax, ODD))
const ask = (wish: string) => {
  const body = new Uint8Array(new TextEncoder().encode(wish))
  return thread.run({ kind: 'prompt', model: 'm', api: 'chat', body, markers: new Uint32Array(0) })
}

test('work that fails is rejected and the next goes on', async () => {
  start(5000)
  const all = await Promise.allSettled([ask('fine'), ask('fail'), ask('fine')])
  expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})

test('a thread that hangs or dies is replaced; what it was on is given up', async () => {
  start(1000)
  for (const wish of ['hang', 'die']) {
    await expect(ask(wish)).rejects.toThrow()
    expect(await ask('fine')).toEqual([])
  }
  expect(thread.isLost).toBe(false)
})

test('files that lose every thread are not tried for ever', async () => {
  start(5000)
  for (let i = 0; i < LOSSES_MAX; i++) await expect(ask('die')).rejects.toThrow('died')
  expect(thread.isLost).toBe(true)
  await expect(ask('fine')).rejects.toThrow('ended')
})

test('nothing waits for a thread that is stopped', async () => {
  start(60_000)
  const open = [ask('hang'), ask('fine')]
  const settled = Promise.allSettled(open)
  await thread.stop()
  expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})

test('files that cannot be read are an error of the work', async () => {
  thread = new TokenizerThread({ folders: { m: '/nowhere' } }, log)
  await expect(ask('{}')).rejects.toThrow('ENOENT')
  await expect(ask('not json')).rejects.toThrow()
})
