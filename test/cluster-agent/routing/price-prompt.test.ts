import { expect, test } from 'vitest'
import { BlockIndex } from '../../../cluster-agent/blocks/block-index.ts'
import { NO_BLOCK } from '../../../cluster-agent/blocks/block-table.ts'
import { PrefixLedger } from '../../../cluster-agent/ledger/prefix-ledger.ts'
import { TokenRatio } from '../../../cluster-agent/prompt/token-ratio.ts'
import { AdapterSlots } from '../../../cluster-agent/routing/adapter-slots.ts'
import { Bookings } from '../../../cluster-agent/routing/bookings.ts'
import { pricePrompt } from '../../../cluster-agent/routing/price-prompt.ts'
import { Speculation } from '../../../cluster-agent/routing/speculation.ts'

/** Markers at 1000 and 1200 bytes; at 4 bytes a token an estimate makes 250 and 300 tokens of them. */
const MARKERS = Uint32Array.of(1000, 1, 0, 1200, 2, 0)

function price(learnt: readonly { readonly lo: number; readonly tokens: number }[]) {
  const index = new BlockIndex('m', 1)
  index.assumeBlockTokens(32)
  const ledger = new PrefixLedger(index, 1)
  for (const { lo, tokens } of learnt) ledger.learn({ lo, hi: 0, tokens, block: NO_BLOCK })
  const speculation = new Speculation()
  speculation.note(0, MARKERS.slice(0, 3), 0)
  const { candidates } = pricePrompt(
    {
      endpoints: [{ number: 0, name: 'a', role: 'both', version: null, profile: {} as never }],
      bookings: new Bookings([1000]),
      adapters: new AdapterSlots(),
      unavailable: () => null,
    },
    { index, ledger, ratio: new TokenRatio(), speculation },
    {
      promptBytes: 1300,
      markers: MARKERS,
      adapter: null,
      kvBytesPerToken: 1,
      answerTokens: 1,
      isSplittable: false,
      sloTtftMs: null,
      sloItlMs: null,
    },
    new Set(),
    1,
  )
  return candidates[0]?.speculativeTokens
}

test('what was just sent counts as so many tokens as were learnt of it, or as are estimated', () => {
  expect(price([])).toBe(224)
  expect(price([{ lo: 1, tokens: 200 }])).toBe(192)
  // 260 tokens are learnt of those bytes, 330 of the longer prompt: no block too many, none too few.
  expect(
    price([
      { lo: 1, tokens: 260 },
      { lo: 2, tokens: 330 },
    ]),
  ).toBe(256)
  expect(price([{ lo: 2, tokens: 230 }])).toBe(224)
})
