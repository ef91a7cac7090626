/**
 * A response that is made in the background, as vLLM makes it: `queued` until it is whole, its events kept for whoever
 * follows them. A follower's stream ends with `response.completed` only, so one of a cancelled response never ends.
 */
import type { ServerResponse } from 'node:http'
import type { AnswerSink } from './answer-sink.ts'
import { openStream } from './http-answer.ts'

const LAST_EVENT = 'event: response.completed\n'

export class BackgroundRun implements AnswerSink {
  isStreaming = false
  private readonly events: string[] = []
  private readonly followers = new Set<() => void>()
  private readonly onOver: () => void
  private readonly onFailure: () => void

  /** `onOver` ends the generation, or hears that it has ended; `onFailure` that nothing came of it. */
  constructor(onOver: () => void, onFailure: () => void) {
    this.onOver = onOver
    this.onFailure = onFailure
  }

  cancel(): void {
    this.onOver()
  }

  openStream(): void {
    this.isStreaming = true
  }

  write(events: string): void {
    this.events.push(...events.split(/(?<=\n\n)/))
    for (const tell of this.followers) tell()
  }

  end(events: string): void {
    this.write(events)
    this.onOver()
  }

  /** The generation itself keeps what comes whole. */
  sendWhole(): void {
    this.onOver()
  }

  sendError(): void {
    this.onFailure()
    this.onOver()
  }

  /** The events from `from` on, those to come too. */
  follow(response: ServerResponse, from: number): void {
    openStream(response)
    let at = from
    const tell = (): void => {
      for (; at < this.events.length; at++) {
        const event = this.events[at] ?? ''
        response.write(event)
        if (!event.startsWith(LAST_EVENT)) continue
        this.followers.delete(tell)
        response.end()
        return
      }
    }
    this.followers.add(tell)
    response.once('close', () => this.followers.delete(tell))
    tell()
  }
}
