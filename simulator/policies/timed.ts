/** A policy whose choices are timed by a clock of the caller's: the one figure of a run that is not a function of its seed. */
import type { Policy } from './policy.ts'

export interface DecisionTime {
  totalMs: number
}

/** Adds to `time` what every choice of the policy takes, at the edge and in the cluster. */
export function timedPolicy(policy: Policy, time: DecisionTime, nowMs: () => number): Policy {
  const timed = <T extends unknown[], R>(choose: (...args: T) => R) => {
    return (...args: T): R => {
      const startMs = nowMs()
      const choice = choose(...args)
      time.totalMs += nowMs() - startMs
      return choice
    }
  }
  return {
    name: policy.name,
    region: (world) => {
      const region = policy.region(world)
      return Object.assign(region, { choose: timed(region.choose.bind(region)) })
    },
    endpoint: (world) => {
      const endpoint = policy.endpoint(world)
      return Object.assign(endpoint, { choose: timed(endpoint.choose.bind(endpoint)) })
    },
  }
}
