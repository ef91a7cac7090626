import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const HOUSES = ['worker', 'directory', 'tenancy', 'cluster-agent', 'simulator', 'cli'] as const

/**
 * The import table. Pure code (a subfolder of a house) and root files of a house may import `protocol`, `core` and the
 * pure subfolders of their own house; root files also their neighbours. These are the only exceptions.
 */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  'worker/index.ts': ['directory/', 'tenancy/'],
  'worker/app.ts': ['directory/ingress.ts'],
  'worker/directory-client.ts': ['directory/text-of-units.ts'],
  'cli/assess.ts': ['simulator/assess/'],
  'cli/events.ts': ['cluster-agent/blocks/', 'cluster-agent/events/', 'cluster-agent/event-'],
}

/** Files whose length is one concept's: each with its reason. */
const LONG_FILES: Readonly<Record<string, string>> = {}

const FORBIDDEN_NAMES = /(^|\/)(utils?|helpers?|common|misc|index|mod|manager|handler|processor)\.ts$/i
const LINES_MAX = 250
const DEPTH_MAX = 3

const sources = ['protocol', 'core', ...HOUSES].flatMap((folder) => listFiles(folder))

function listFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder)).flatMap((name) => {
    const path = `${folder}/${name}`
    if (statSync(join(ROOT, path)).isDirectory()) return listFiles(path)
    return path.endsWith('.ts') ? [path] : []
  })
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+'([^']+)'|import\('([^']+)'\)/g)].map(
    (match) => match[1] ?? match[2] ?? '',
  )
}

function resolveImport(file: string, specifier: string): string {
  return relative(ROOT, normalize(join(ROOT, dirname(file), specifier)))
}

function mayImport(file: string, target: string): boolean {
  const house = file.split('/')[0] ?? ''
  if (target.startsWith('protocol/')) return true
  if (house === 'protocol') return false
  if (target.startsWith('core/')) return true
  if (house === 'core') return false
  const isPure = file.split('/').length > 2
  const targetIsPure = target.split('/').length > 2
  if (target.startsWith(`${house}/`)) return targetIsPure || !isPure
  if (house === 'simulator') return targetIsPure && HOUSES.some((name) => target.startsWith(`${name}/`))
  return (EXCEPTIONS[file] ?? []).some((prefix) => target.startsWith(prefix))
}

test('imports follow the table', () => {
  const wrong = sources.flatMap((file) =>
    importsOf(file)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => resolveImport(file, specifier))
      .filter((target) => !mayImport(file, target))
      .map((target) => `${file} -> ${target}`),
  )
  expect(wrong).toEqual([])
})

test('protocol imports zod only, core no package', () => {
  const packages = sources
    .filter((file) => /^(protocol|core)\//.test(file))
    .flatMap((file) =>
      importsOf(file)
        .filter((specifier) => !specifier.startsWith('.') && specifier !== 'zod')
        .map((s) => `${file}: ${s}`),
    )
  expect(packages).toEqual([])
  expect(sources.filter((file) => file.startsWith('core/') && importsOf(file).includes('zod'))).toEqual([])
})

test('pure folders import no platform', () => {
  const wrong = sources
    .filter((file) => file.split('/').length > 2)
    .flatMap((file) =>
      importsOf(file)
        .filter((s) => /^(node:|cloudflare:|undici|zeromq|pino|hono)/.test(s))
        .map((s) => `${file}: ${s}`),
    )
  expect(wrong).toEqual([])
})

test('every file is one concept: its length, its name and its depth', () => {
  const long = sources.filter(
    (file) =>
      !(file in LONG_FILES) && readFileSync(join(ROOT, file), 'utf8').split('\n').length - 1 > LINES_MAX,
  )
  expect(long).toEqual([])
  expect(sources.filter((file) => FORBIDDEN_NAMES.test(file) && file !== 'worker/index.ts')).toEqual([])
  expect(sources.filter((file) => file.split('/').length > DEPTH_MAX)).toEqual([])
  expect(sources.filter((file) => !/^[a-z0-9./-]+$/.test(file))).toEqual([])
})

test('the import table catches what it should', () => {
  expect(mayImport('worker/plan/price.ts', 'worker/env.ts')).toBe(false)
  expect(mayImport('worker/app.ts', 'cluster-agent/server.ts')).toBe(false)
  expect(mayImport('core/choose.ts', 'worker/plan/price.ts')).toBe(false)
  expect(mayImport('protocol/report.ts', 'core/tiers.ts')).toBe(false)
  expect(mayImport('simulator/engine.ts', 'worker/plan/price.ts')).toBe(true)
  expect(mayImport('simulator/engine.ts', 'worker/app.ts')).toBe(false)
})
