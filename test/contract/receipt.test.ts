import { expect, test } from 'vitest'
import { formatReceipt, parseReceipt, type Receipt } from '../../protocol/receipt.ts'

const receipt: Receipt = {
  cluster: 'us-east-1',
  region: 'us-east',
  matched_tokens: 6000,
  prompt_tokens: 6500,
  tier: 'gpu',
  predicted_ttft_ms: 61,
  attempt: 1,
  reason: 'warm',
  age_ms: 120,
}

test('a receipt reads as key=value pairs and comes back', () => {
  expect(formatReceipt(receipt)).toBe(
    'cluster=us-east-1; region=us-east; matched_tokens=6000; prompt_tokens=6500; tier=gpu; predicted_ttft_ms=61; attempt=1; reason=warm; age_ms=120',
  )
  expect(parseReceipt(formatReceipt(receipt))).toEqual(receipt)
})

test.each(['', 'cluster', 'cluster=%', formatReceipt({ ...receipt, attempt: 0 }), 'cluster=us; region=us'])(
  'no receipt: %j',
  (header) => {
    expect(parseReceipt(header)).toBeNull()
  },
)
