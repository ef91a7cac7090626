import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { envelopeSchema } from '../../protocol/envelope.ts'
import { keptEnvelopeSchema } from '../../protocol/kept-response.ts'
import { agentMessageSchema, directoryMessageSchema } from '../../protocol/report.ts'
import { receiptSchema } from '../../protocol/receipt.ts'
import { PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST } from '../../protocol/version.ts'

/**
 * The hash of every schema that crosses a wire. When this fails you changed the protocol: bump PROTOCOL_VERSION with a
 * line in its table, keep the version before it served, and put the new hash here.
 */
const LOCKED = { version: 2, sha256: '3a42598f3cd237accca680673c923e27b4d940e415f05ef78b800b260b2a10db' }

test('the wire schemas are those of the protocol version', () => {
  const schemas = {
    agentMessageSchema,
    directoryMessageSchema,
    envelopeSchema,
    keptEnvelopeSchema,
    receiptSchema,
  }
  const json = JSON.stringify(
    Object.entries(schemas).map(([name, schema]) => [name, z.toJSONSchema(schema, { io: 'input' })]),
  )
  expect({ version: PROTOCOL_VERSION, sha256: createHash('sha256').update(json).digest('hex') }).toEqual(
    LOCKED,
  )
})

test('one version back is still served', () => {
  expect(PROTOCOL_VERSION_OLDEST).toBeLessThanOrEqual(PROTOCOL_VERSION)
  expect(PROTOCOL_VERSION_OLDEST).toBeGreaterThanOrEqual(PROTOCOL_VERSION - 1)
})
