/** The printable stand-ins for bytes in byte-level BPE files (GPT-2's `bytes_to_unicode`). A space becomes `Ġ`. */

/** Character of each byte. */
export const BYTE_CHARACTERS: readonly string[] = buildAlphabet()

function buildAlphabet(): string[] {
  let spare = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)
    return String.fromCharCode(isPrintable ? byte : spare++)
  })
}

/** How byte-level vocabularies write an ASCII text. */
export function byteLevelText(text: string): string {
  return [...text].map((character) => BYTE_CHARACTERS[character.charCodeAt(0)] ?? '').join('')
}
