/**
 * One run: a world in bad weather, in which processes die, objects are evicted and updated and directories divided anew;
 * then calm, in which every directory must come to equal every agent within a bound. Equal seeds, equal runs.
 */
import type { Faults } from './faults.ts'
import { CALM, type Weather } from './network.ts'
import { Violation } from './violation.ts'
import { World } from './world.ts'

/** How long the weather is bad. */
const STORM_MS = 25_000
/**
 * The bound on convergence: a deaf connection is given up after 10 s, dialled again within 10 s, a layout asked for every
 * 30 s.
 */
export const CONVERGENCE_MS_MAX = 75_000
/** How long the world is watched after it has converged: an old agent dials again every 10 s. */
const WATCH_MS = 12_000
const ACT_MS_MAX = 600
const ASK_MS_MAX = 60

export interface Run {
  readonly seed: number
  readonly steps: number
  /** How long after the storm every directory was what every agent is; null when a violation ended the run. */
  readonly convergedMs: number | null
  readonly violation: { readonly invariant: string; readonly message: string; readonly atMs: number } | null
}

export function playStory(seed: number, faults: Faults): Run {
  const world = new World(seed, faults)
  try {
    return { seed, ...play(world), steps: world.checkers.steps, violation: null }
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    const { invariant, message } = error
    const violation = { invariant, message, atMs: Math.round(world.clock.nowMs) }
    return { seed, steps: world.checkers.steps, convergedMs: null, violation }
  }
}

function play(world: World): { convergedMs: number } {
  for (const cluster of world.clusters) world.startAgent({ cluster })
  keepAsking(world)
  runUntil(world, 2000)
  world.network.weather = drawWeather(world)
  keepActing(world)
  runUntil(world, STORM_MS)
  calm(world)
  const calmMs = world.clock.nowMs
  // What was under way in the storm arrives, and changes come to an end.
  runUntil(world, calmMs + 3000)
  world.isChurning = false
  let difference: string | null = 'nothing was looked at'
  for (let atMs = calmMs + 3500; difference !== null; atMs += 500) {
    runUntil(world, atMs)
    difference = world.checkers.difference()
    if (difference !== null && atMs > calmMs + CONVERGENCE_MS_MAX) throw new Violation('I10', difference)
  }
  const convergedMs = world.clock.nowMs - calmMs
  world.checkers.isSettled = true
  world.isChurning = true
  runUntil(world, world.clock.nowMs + WATCH_MS)
  world.isChurning = false
  runUntil(world, world.clock.nowMs + 1000)
  difference = world.checkers.difference()
  if (difference !== null) throw new Violation('I10', `after it had converged: ${difference}`)
  return { convergedMs }
}

function runUntil(world: World, atMs: number): void {
  while (world.clock.step(atMs)) continue
  // A clock without anything due still goes on.
  if (world.clock.nowMs < atMs) world.clock.after(atMs - world.clock.nowMs, () => undefined)
  while (world.clock.step(atMs)) continue
}

function drawWeather({ dice }: World): Weather {
  return {
    lost: dice.chance(0.7) ? dice.float() * 0.1 : 0,
    doubled: dice.chance(0.5) ? dice.float() * 0.1 : 0,
    reordered: dice.chance(0.5) ? dice.float() * 0.1 : 0,
    cut: dice.chance(0.3) ? dice.float() * 0.05 : 0,
    delayMsMax: dice.chance(0.5) ? CALM.delayMsMax : 100 + dice.float() * 1000,
  }
}

/** The storm is over; clusters without an agent may stay so. */
function calm(world: World): void {
  world.network.heal()
  world.isStormy = false
  for (const edge of world.edges) edge.layout = world.layout(edge.region)
}

/** Requests come in at the edges, in bursts too. */
function keepAsking(world: World): void {
  const { clock, dice, prompts, checkers } = world
  const edge = dice.pick(world.edges)
  for (let burst = dice.chance(0.1) ? 20 : 1; burst > 0; burst--) {
    const markers = dice.pick(prompts.prompts)
    if (!edge || !markers) break
    edge.ask(markers, (asked) => {
      checkers.afterAnswer(asked)
      const cluster = dice.pick(world.clusters)
      if (cluster !== null && dice.chance(0.3)) edge.book(cluster, 10, markers)
    })
  }
  clock.after(dice.float() * ASK_MS_MAX, () => keepAsking(world))
}

/** Something goes wrong, again and again while the storm lasts. */
function keepActing(world: World): void {
  const { clock, dice } = world
  if (clock.nowMs >= STORM_MS) return
  act(world)
  clock.after(dice.float() * ACT_MS_MAX, () => keepActing(world))
}

function act(world: World): void {
  const { dice, network } = world
  const living = world.agents.filter(({ isAlive }) => isAlive)
  const agent = dice.pick(living)
  const object = dice.pick(world.objects)
  const roll = dice.int(100)
  if (roll < 15) object?.evict()
  else if (roll < 22) object?.update()
  else if (roll < 42) dice.pick(agent?.streams ?? [])?.breakConnection()
  else if (roll < 47) agent?.crash()
  else if (roll < 50) agent?.leave()
  else if (roll < 60) startOneMore(world)
  else if (roll < 63) intrude(world)
  else if (roll < 68) network.cutOff(dice.pick([...world.clusters, ...world.regions]) ?? '')
  else if (roll < 74) healFor(world)
  else if (roll < 78) divide(world)
  else if (agent) for (let i = dice.int(30); i > 0; i--) agent.note(world.newOutcome(agent))
}

/** A second agent of a cluster, beside the first or after it. */
function startOneMore(world: World): void {
  const cluster = world.dice.pick(world.clusters)
  if (cluster !== null && world.agents.filter(({ isAlive }) => isAlive).length < 6)
    world.startAgent({ cluster })
}

function intrude(world: World): void {
  const [cluster, tokenCluster] = [world.dice.pick(world.clusters), world.dice.pick(world.clusters)]
  if (cluster === null || tokenCluster === null || cluster === tokenCluster) return
  const intruder = world.startAgent({ cluster, tokenCluster })
  world.clock.after(world.dice.float() * 5000, () => intruder.crash())
}

function healFor(world: World): void {
  world.network.heal()
  world.network.weather = drawWeather(world)
}

/** The configuration of a region changes; edges hear of it one after another. */
function divide(world: World): void {
  const region = world.dice.pick(world.regions)
  if (region === null) return
  const layout = world.drawLayout()
  world.divide(region, layout)
  for (const edge of world.edges) {
    if (edge.region === region)
      world.clock.after(world.dice.float() * 10_000, () => (edge.layout = world.layout(region)))
  }
}
