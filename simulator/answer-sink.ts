/** Where a generation says what it says: to a client, or into the memory of the engine (background-run.ts). */
import type { ServerResponse } from 'node:http'
import { openStream, sendError, sendJson } from './http-answer.ts'
import type { ErrorAnswer } from './wire/errors.ts'

export interface AnswerSink {
  /** Whether a stream has begun, so that errors are events. */
  readonly isStreaming: boolean
  openStream(): void
  /** Whole events of a stream. */
  write(events: string): void
  end(events: string): void
  sendWhole(body: object): void
  sendError(answer: ErrorAnswer): void
}

export class HttpSink implements AnswerSink {
  private readonly response: ServerResponse

  constructor(response: ServerResponse) {
    this.response = response
  }

  get isStreaming(): boolean {
    return this.response.headersSent
  }

  openStream(): void {
    openStream(this.response)
  }

  write(events: string): void {
    this.response.write(events)
  }

  end(events: string): void {
    this.response.end(events)
  }

  sendWhole(body: object): void {
    sendJson(this.response, 200, body)
  }

  sendError(answer: ErrorAnswer): void {
    sendError(this.response, answer)
  }
}
