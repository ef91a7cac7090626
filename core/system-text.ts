/**
 * What engines keep of a system text. Claude Code writes a line in front whose value is another with every request; vLLM drops
 * it before it renders (`renderers/chat_utils.py`), so a prompt is the same without it.
 */
const BILLING_HEADER = 'x-anthropic-billing-header'

/** null: nothing is left of the text, and its part is gone. */
export function systemText(text: string): string | null {
  if (!text.startsWith(BILLING_HEADER)) return text
  const end = text.indexOf('\n')
  return end < 0 || end === text.length - 1 ? null : text.slice(end + 1)
}
