/**
 * KV event payloads into the typed arrays of one batch that is used over and over: by hand for the shapes that engines send
 * by the thousand, by decode-batch.ts for any other. Both say the same of the same bytes.
 */
import { decodeBatch, decodeBounded, millisecondsOf, PAYLOAD_BYTES_MAX } from './decode-batch.ts'
import { EventBatch, EVENTS_MAX, type BatchEvent } from './event-batch.ts'
import { MsgpackCursor, UNUSUAL } from './msgpack-cursor.ts'
import { Repeat } from './repeat.ts'
import { readTokens } from './token-run.ts'

/** Fields of both kinds of event, by the names of the map form. */
const FIELDS = [
  'block_hashes',
  'parent_block_hash',
  'token_ids',
  'block_size',
  'lora_id',
  'medium',
  'lora_name',
  'extra_keys',
  'group_idx',
  'kv_cache_spec_kind',
  'kv_cache_spec_sliding_window',
  'cache_salt',
] as const
type Field = (typeof FIELDS)[number]
const STORED_ORDER: readonly Field[] = FIELDS.slice(0, 11)
const REMOVED_ORDER: readonly Field[] = ['block_hashes', 'medium', 'group_idx']
const BY_LENGTH = Array.from({ length: 32 }, (_, length) => FIELDS.filter((name) => name.length === length))

export class BatchDecoder {
  readonly #batch = new EventBatch()
  readonly #cursor = new MsgpackCursor()
  readonly #repeat = new Repeat()
  /** Which field stood at each place of the last map of a kind: engines keep to one order. */
  readonly #storedOrder = FIELDS.map((): Field | null => null)
  readonly #removedOrder = FIELDS.map((): Field | null => null)
  #lora = ''
  /** Payloads that the general decoder had to read. */
  unusual = 0

  /** The batch is good until the next call; null when the payload is no batch at all. */
  decode(payload: Uint8Array): EventBatch | null {
    if (payload.length > PAYLOAD_BYTES_MAX) return null
    this.#batch.clear()
    this.#cursor.open(payload)
    try {
      this.#readBatch()
      return this.#batch
    } catch (error) {
      if (error !== UNUSUAL) throw error
    }
    this.unusual++
    return this.#decodeGeneral(payload)
  }

  #decodeGeneral(payload: Uint8Array): EventBatch | null {
    const decoded = decodeBatch(payload)
    if (!decoded) return null
    const batch = this.#batch
    batch.clear()
    batch.skipped = decoded.skipped
    batch.isLossy = decoded.isLossy
    batch.rank = decoded.rank
    batch.madeMs = decoded.madeMs
    for (const event of decoded.events) if (!batch.push(event)) return null
    return batch
  }

  #readBatch(): void {
    const cursor = this.#cursor
    const length = cursor.arrayLength()
    if (length < 2) throw UNUSUAL
    this.#batch.madeMs = millisecondsOf(cursor.real())
    const events = cursor.arrayLength()
    if (events > EVENTS_MAX) throw UNUSUAL
    this.#repeat.end()
    for (let i = 0; i < events; i++) if (!this.#repeat.read(cursor, this.#batch)) this.#readEvent()
    if (length > 2 && !cursor.takeNil()) this.#batch.rank = cursor.uint()
    for (let i = 3; i < length; i++) cursor.skip()
    if (!cursor.isAtEnd) throw UNUSUAL
  }

  #readEvent(): void {
    const cursor = this.#cursor
    const start = cursor.at
    const isMap = cursor.peek() >>> 4 === 0x8
    const length = isMap ? cursor.mapLength() : cursor.arrayLength()
    if (length === 0) throw UNUSUAL
    if (isMap) {
      const keyLength = cursor.textLength()
      if (!cursor.isText('type', keyLength)) throw UNUSUAL
      cursor.at += keyLength
    }
    const tagLength = cursor.textLength()
    const isStored = cursor.isText('BlockStored', tagLength)
    const isRemoved = cursor.isText('BlockRemoved', tagLength)
    if (!isStored && !isRemoved && !cursor.isText('AllBlocksCleared', tagLength)) throw UNUSUAL
    cursor.at += tagLength
    const event = this.#batch.open(isStored ? 'stored' : isRemoved ? 'removed' : 'cleared')
    const hasHashes = isMap ? this.#readMap(event, length - 1) : this.#readArray(event, length - 1)
    if (event.kind !== 'cleared' && !hasHashes) throw UNUSUAL
    this.#repeat.note(event, start, cursor.at)
  }

  #readMap(event: BatchEvent, fields: number): boolean {
    const cursor = this.#cursor
    const order = event.kind === 'stored' ? this.#storedOrder : this.#removedOrder
    let hasHashes = false
    for (let i = 0; i < fields; i++) {
      const length = cursor.textLength()
      const usual = order[i] ?? null
      const field = usual !== null && cursor.isText(usual, length) ? usual : this.#fieldOf(length)
      if (field !== null && i < order.length) order[i] = field
      cursor.at += length
      if (field === null || event.kind === 'cleared') cursor.skip()
      else this.#readField(event, field)
      hasHashes ||= field === 'block_hashes'
    }
    return hasHashes
  }

  #fieldOf(length: number): Field | null {
    const cursor = this.#cursor
    for (const name of BY_LENGTH[length] ?? []) if (cursor.isText(name, length)) return name
    // A second type, or a key that no JavaScript object may have.
    if (cursor.isText('type', length) || cursor.isText('__proto__', length)) throw UNUSUAL
    return null
  }

  #readArray(event: BatchEvent, fields: number): boolean {
    const order = event.kind === 'stored' ? STORED_ORDER : event.kind === 'removed' ? REMOVED_ORDER : []
    for (let i = 0; i < fields; i++) {
      const field = order[i]
      if (field) this.#readField(event, field)
      else this.#cursor.skip()
    }
    return fields > 0
  }

  #readField(event: BatchEvent, field: Field): void {
    const cursor = this.#cursor
    if (field === 'block_hashes') this.#readHashes(event)
    else if (field === 'token_ids') this.#readTokens(event)
    else if (field === 'extra_keys') this.#readExtras(event)
    else if (field === 'lora_id') cursor.skip()
    else if (cursor.takeNil()) clearField(event, field)
    else if (field === 'parent_block_hash') this.#readParent(event)
    else if (field === 'block_size') event.blockTokens = cursor.uint()
    else if (field === 'group_idx') event.group = cursor.uint()
    else if (field === 'kv_cache_spec_sliding_window') event.windowTokens = cursor.uint()
    else if (field === 'medium') event.medium = cursor.text('GPU')
    else if (field === 'kv_cache_spec_kind') event.groupKind = cursor.text('full_attention')
    else if (field === 'lora_name') event.lora = this.#lora = cursor.text(this.#lora)
    else event.salt = cursor.text('')
  }

  #readHashes(event: BatchEvent): void {
    const count = this.#cursor.arrayLength()
    const batch = this.#batch
    if (!batch.reserveHashes(count)) throw UNUSUAL
    event.hashFrom = batch.hashCount
    event.hashCount = count
    this.#repeat.hashAt = this.#cursor.at
    for (let i = 0; i < count; i++) this.#cursor.hash(batch.hashes, (batch.hashCount + i) * 2)
    batch.hashCount += count
  }

  #readParent(event: BatchEvent): void {
    this.#cursor.hash(PARENT, 0)
    event.hasParent = true
    event.parentLo = PARENT[0] as number
    event.parentHi = PARENT[1] as number
  }

  #readTokens(event: BatchEvent): void {
    const cursor = this.#cursor
    const count = cursor.arrayLength()
    const batch = this.#batch
    if (!batch.reserveTokens(count)) throw UNUSUAL
    event.tokenFrom = batch.tokenCount
    event.tokenCount = count
    readTokens(cursor, batch.tokens, batch.tokenCount, count)
    batch.tokenCount += count
  }

  /** Plain text has a nil for each block. What has more is decoded by the general decoder. */
  #readExtras(event: BatchEvent): void {
    const cursor = this.#cursor
    event.extraKeys = []
    const start = cursor.at
    if (cursor.takeNil()) return
    const { bytes } = cursor
    let nils = cursor.arrayLength()
    while (nils > 0 && bytes[cursor.at] === 0xc0) {
      cursor.at++
      nils--
    }
    if (nils === 0) return
    cursor.at = start
    cursor.skip()
    const extras = decodeBounded(bytes.subarray(start, cursor.at))
    if (!Array.isArray(extras)) throw UNUSUAL
    event.extraKeys = extras
  }
}

const PARENT = new Int32Array(2)

/** A field that comes twice counts the second time, nil or not. */
function clearField(event: BatchEvent, field: Field): void {
  if (field === 'parent_block_hash') event.hasParent = false
  else if (field === 'block_size') event.blockTokens = 0
  else if (field === 'group_idx') event.group = 0
  else if (field === 'kv_cache_spec_sliding_window') event.windowTokens = null
  else if (field === 'medium') event.medium = null
  else if (field === 'kv_cache_spec_kind') event.groupKind = null
  else if (field === 'lora_name') event.lora = null
  else event.salt = null
}
