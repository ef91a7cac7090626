/** What an agent learns of its engines' costs from real streams and metrics, and that it survives a restart. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startAgent } from '../../cluster-agent/agent.ts'
import { until } from '../support/wait.ts'
import { startRig } from './review/rig.ts'

test('laws are learnt from streams and metrics, are told, and outlive the agent', async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'isotherm-state-'))
  // The agent believes prefill to be far dearer than it is.
  const rig = await startRig([{ name: 'a', role: 'both', prefillFactor: 20 }], { stateDir })
  const { cluster } = rig.agent
  const [configured] = cluster.registry.endpoints
  for (let i = 0; i < 20; i++) {
    const content = `${i} `.repeat(50 + ((i * 37) % 20) * 60)
    const body = { messages: [{ role: 'user', content }], max_tokens: 3, stream: true }
    await (await rig.complete(body)).text()
  }
  const report = () => cluster.calibration.report()[0]!
  expect(report()).toMatchObject({ endpoint: 'a', ttft: { samples: 20 } })
  expect(report().observations['prefill']!.taken).toBeGreaterThanOrEqual(8)
  expect(report().learnt.prefill).not.toEqual(report().configured.prefill)
  expect(cluster.endpoints[0]!.profile).toBe(report().learnt)
  expect(configured!.profile).toEqual(report().configured)
  await until('metrics to be read twice', () => report().metricsSamples >= 2)
  expect(report().impossibleMetrics).toBe(0)
  const { learnt } = report()
  await rig.agent.stop(0)

  const next = await startAgent(cluster.config)
  expect(next.cluster.endpoints[0]!.profile.prefill.msPerToken).toBeCloseTo(learnt.prefill.msPerToken, 12)
  await next.stop(0)
  for (const engine of rig.engines.values()) await engine.stop()
  await rm(stateDir, { recursive: true })
})
