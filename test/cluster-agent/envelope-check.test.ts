import { createHash, createHmac, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { EnvelopeCheck } from '../../cluster-agent/envelope-check.ts'
import {
  ENVELOPE_AGE_MS_MAX,
  ENVELOPE_CONTEXT,
  ENVELOPE_KEY_CONTEXT,
  KEY_ID_CHARS,
  type EnvelopeInput,
} from '../../protocol/envelope.ts'

const SECRET = 'a-secret-of-some-length'
const PREVIOUS = 'the-secret-before-that'
const NOW = 1_800_000_000_000
const body = new TextEncoder().encode('{"prompt":"x"}')
const request = { method: 'POST', path: '/v1/completions', body }

function envelope(more: Partial<EnvelopeInput> = {}): EnvelopeInput {
  return {
    v: 1,
    requestId: 'r-1',
    attempt: 1,
    tenant: 't',
    shareScope: 't',
    cluster: 'c-1',
    model: 'm',
    stream: false,
    outputTokensMax: null,
    markers: '',
    promptBytes: 10,
    issuedMs: NOW,
    nonce: randomBytes(16).toString('base64url'),
    deadlineMs: null,
    ...more,
  }
}
function sign(
  payload: EnvelopeInput,
  { secret = SECRET, path = request.path, over = body, method = 'POST' } = {},
): string {
  const encoded = Buffer.from(JSON.stringify(payload)).toString('base64url')
  const digest = createHash('sha256').update(over).digest('hex')
  const signature = createHmac('sha256', secret)
    .update(`${ENVELOPE_CONTEXT}\n${method}\n${path}\n${digest}\n${encoded}\n`)
    .digest('base64url')
  return `${encoded}.${signature}`
}
const keyIdOf = (secret: string) =>
  createHmac('sha256', secret).update(ENVELOPE_KEY_CONTEXT).digest('hex').slice(0, KEY_ID_CHARS)
const check = () => new EnvelopeCheck('c-1', [SECRET, PREVIOUS])

test('a good envelope is taken once', () => {
  const checked = check()
  const header = sign(envelope())
  expect(checked.verify({ ...request, header }, NOW)).toMatchObject({ requestId: 'r-1', tenant: 't' })
  expect(() => checked.verify({ ...request, header }, NOW + 1)).toThrow('used before')
})

test.each([
  ['nothing', undefined],
  ['no signature', 'e30'],
  ['an empty signature', 'e30.'],
  ['an unknown key id', `${sign(envelope())}.x`],
  ['the key id of another secret', `${sign(envelope())}.${keyIdOf(PREVIOUS)}`],
  ['four parts', `${sign(envelope())}.${keyIdOf(SECRET)}.x`],
  ['another secret', sign(envelope(), { secret: 'another-secret-here' })],
  ['another path', sign(envelope(), { path: '/v1/chat/completions' })],
  ['another method', sign(envelope(), { method: 'GET' })],
  ['another body', sign(envelope(), { over: new TextEncoder().encode('{}') })],
  ['another cluster', sign(envelope({ cluster: 'c-2' }))],
  ['old', sign(envelope({ issuedMs: NOW - ENVELOPE_AGE_MS_MAX - 1 }))],
  ['from the future', sign(envelope({ issuedMs: NOW + ENVELOPE_AGE_MS_MAX + 1 }))],
  ['of another version', sign({ ...envelope(), v: 3 } as unknown as EnvelopeInput)],
  ['with more fields', sign({ ...envelope(), admin: true } as unknown as EnvelopeInput)],
])('%s is refused', (_, header) => {
  expect(() => check().verify({ ...request, header }, NOW)).toThrow(
    expect.objectContaining({ code: 'forbidden' }),
  )
})

test('a version back says nothing of edge region, priority and objectives', () => {
  const header = sign(envelope({ v: 1 }))
  expect(check().verify({ ...request, header }, NOW)).toMatchObject({
    edgeRegion: null,
    priority: 0,
    sloTtftMs: null,
    sloItlMs: null,
  })
})

test.each([
  ['the current secret', SECRET],
  ['the one before', PREVIOUS],
])('%s signs, by its key id or without one', (_, secret) => {
  const signed = () => sign(envelope({ v: 2 }), { secret })
  const checked = check()
  expect(checked.verify({ ...request, header: `${signed()}.${keyIdOf(secret)}` }, NOW).requestId).toBe('r-1')
  expect(checked.verify({ ...request, header: signed() }, NOW).requestId).toBe('r-1')
})
