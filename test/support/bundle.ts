/** Bundles the Worker once for all product tests. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { bundleEdge, type EdgeBundle } from '../../cli/edge.ts'

declare module 'vitest' {
  interface ProvidedContext {
    bundle: EdgeBundle
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'isotherm-bundle-'))
  project.provide('bundle', await bundleEdge(folder))
  return () => rm(folder, { recursive: true, force: true })
}
