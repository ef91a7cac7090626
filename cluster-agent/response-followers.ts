/**
 * Who reads the events of a response that is made in the background. vLLM tells them nothing when it is cancelled and never
 * ends their streams (`responses_background_stream_generator` of 0.32 waits for an event that does not come), so whoever
 * cancels ends them.
 */
export class ResponseFollowers {
  readonly #byId = new Map<string, Set<() => void>>()

  /** `end` ends the stream. The result takes the follower out again, once its stream has ended. */
  add(id: string, end: () => void): () => void {
    const ends = this.#byId.get(id) ?? new Set()
    this.#byId.set(id, ends.add(end))
    return () => {
      ends.delete(end)
      if (ends.size === 0 && this.#byId.get(id) === ends) this.#byId.delete(id)
    }
  }

  end(id: string): void {
    const ends = this.#byId.get(id)
    this.#byId.delete(id)
    for (const end of ends ?? []) end()
  }
}
