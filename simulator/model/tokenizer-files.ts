/**
 * The demo model's tokenizer as Hugging Face files. The pre-tokenizer cuts runs of lower-case letters, of at most 64,
 * with the space before them; only inside those can tokens merge. ASCII alone decides, so no Unicode version does.
 */
import { SYLLABLES, SYNTHETIC_WORDS, syntheticWord } from '../../core/synthetic-words.ts'
import { BYTE_CHARACTERS } from './byte-alphabet.ts'
import { CHAT_TEMPLATE } from './chat-template.ts'
import { SPACED_WORD_BASE, SPECIAL_TOKENS, SYLLABLE_BASE, WORD_BASE, specialId } from './vocabulary.ts'

/** Letters of one piece: bounds the work of merging it. */
export const PIECE_LETTERS_MAX = 64

const SPACE = 'Ġ'

/** `tokenizer.json` and `tokenizer_config.json`. */
export interface TokenizerFiles {
  readonly tokenizerJson: string
  readonly tokenizerConfigJson: string
}

export function demoTokenizerFiles(): TokenizerFiles {
  return {
    tokenizerJson: JSON.stringify(tokenizer()),
    tokenizerConfigJson: JSON.stringify(tokenizerConfig()),
  }
}

function tokenizer(): object {
  const words = Array.from({ length: SYNTHETIC_WORDS }, (_, i) => syntheticWord(i))
  const vocab: Record<string, number> = {}
  BYTE_CHARACTERS.forEach((character, byte) => (vocab[character] = byte))
  SYLLABLES.forEach((syllable, i) => (vocab[syllable] = SYLLABLE_BASE + i))
  words.forEach((word, i) => (vocab[word] = WORD_BASE + i))
  words.forEach((word, i) => (vocab[SPACE + word] = SPACED_WORD_BASE + i))
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, i) => ({ id: specialId(i), ...specialToken(content) })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: ` ?[a-z]{1,${PIECE_LETTERS_MAX}}` },
          behavior: 'Isolated',
          invert: false,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      // In the order of their ranks: syllables, words, words behind a space.
      merges: [
        ...SYLLABLES.map((syllable) => [syllable.slice(0, 1), syllable.slice(1)]),
        ...words.map((word) => [word.slice(0, 2), word.slice(2)]),
        ...words.map((word) => [SPACE, word]),
      ],
    },
  }
}

function tokenizerConfig(): object {
  return {
    add_bos_token: false,
    add_prefix_space: false,
    added_tokens_decoder: Object.fromEntries(
      SPECIAL_TOKENS.map((content, i) => [String(specialId(i)), specialToken(content)]),
    ),
    bos_token: null,
    chat_template: CHAT_TEMPLATE,
    clean_up_tokenization_spaces: false,
    eos_token: '<|im_end|>',
    errors: 'replace',
    model_max_length: 131_072,
    pad_token: '<|endoftext|>',
    tokenizer_class: 'PreTrainedTokenizerFast',
    unk_token: null,
  }
}

function specialToken(content: string): object {
  return { content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
}
