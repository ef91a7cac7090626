/**
 * The network of a world. While it is bad, messages are lost, doubled, delayed, reordered and cut short, connections
 * break on one side before the other, and places are cut off from each other.
 */
import type { Dice } from './dice.ts'
import type { VirtualClock } from './virtual-clock.ts'

export type Message = string | Uint8Array

/** How bad it is: probabilities for each message. */
export interface Weather {
  readonly lost: number
  readonly doubled: number
  readonly reordered: number
  readonly cut: number
  readonly delayMsMax: number
}

export const CALM: Weather = { lost: 0, doubled: 0, reordered: 0, cut: 0, delayMsMax: 40 }
/** The longest that a message is under way. */
export const TRANSIT_MS_MAX = 2500
const REPLAY_MS_MAX = 1000

export class Network {
  readonly #clock: VirtualClock
  readonly #dice: Dice
  weather: Weather = CALM
  readonly #partitions = new Set<string>()

  constructor(clock: VirtualClock, dice: Dice) {
    this.#clock = clock
    this.#dice = dice
  }

  cutOff(place: string): void {
    this.#partitions.add(place)
  }

  heal(): void {
    this.#partitions.clear()
    this.weather = CALM
  }

  /** One direction of one connection: messages keep their order unless the weather is bad. */
  lane(from: string, to: string, deliver: (message: Message) => void): (message: Message) => void {
    let lastMs = 0
    return (message) => {
      const { lost, doubled, reordered, cut } = this.weather
      const copies = this.#dice.chance(doubled) ? 2 : 1
      for (let copy = 1; copy <= copies; copy++) {
        if (this.#partitions.has(from) || this.#partitions.has(to) || this.#dice.chance(lost)) continue
        const delayMs = this.#delayMs()
        const atMs = this.#clock.nowMs + delayMs
        // A copy comes when it comes: after newer messages, too.
        const isLate = copy > 1 || this.#dice.chance(reordered)
        const lateMs = this.#dice.float() * REPLAY_MS_MAX
        const dueMs = isLate ? atMs + lateMs : Math.max(atMs, lastMs)
        if (!isLate) lastMs = dueMs
        const isCut = typeof message !== 'string' && this.#dice.chance(cut)
        const arriving = isCut ? message.slice(0, this.#dice.int(message.length)) : message
        this.#clock.after(dueMs - this.#clock.nowMs, () => deliver(arriving))
      }
    }
  }

  /** A call and its answer: it comes back, fails, or is never heard of again. */
  call<T>(from: string, to: string, run: () => T, settle: (result: T | null) => void): void {
    const isGone = () =>
      this.#partitions.has(from) || this.#partitions.has(to) || this.#dice.chance(this.weather.lost)
    const back = (result: T | null) => this.#clock.after(this.#delayMs() / 20, () => settle(result))
    this.#clock.after(this.#delayMs() / 20, () => {
      // A lost call fails at once, or after a while, or hangs.
      if (isGone()) {
        if (this.#dice.chance(0.7)) this.#clock.after(this.#dice.chance(0.5) ? 1 : 1000, () => settle(null))
        return
      }
      const result = run()
      if (!isGone()) back(result)
    })
  }

  #delayMs(): number {
    const { delayMsMax } = this.weather
    return 1 + this.#dice.float() * Math.min(delayMsMax, TRANSIT_MS_MAX / 2)
  }
}
