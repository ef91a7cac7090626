/**
 * Engine profiles by name. Prefill: 2 x active parameters / (MFU x peak) a token; attention: 4 x layers x query width /
 * (MFU x peak) a pair. Decode: weights and KV bytes over 70 % of the memory bandwidth. Sources: docs/SIMULATION.md.
 */
import { engineProfileSchema, type EngineProfile } from '../engine/profile.ts'

type Input = Readonly<Record<string, unknown>>

const RAW: Readonly<Record<string, Input>> = {
  // 15,928 tok/s is llm-d's published peak; 307,328 tokens its published KV space. MFU 0.53 of 2 x 989 TFLOPS.
  'qwen3-32b-tp2-h100': {},
  // MFU 0.5 of 4 x 989 TFLOPS; 461,376 tokens published.
  'llama-70b-tp4-h100': {
    prefill: { fixedMs: 30, msPerToken: 1 / 14.1, msPerTokenPair: 1.3e-6 },
    decode: { stepMs: 15, msPerSequence: 0.1, msPerContextToken: 3.5e-5 },
    kvTokens: 461_376,
    cpuKvTokens: 461_376 * 4,
    kvBytesPerToken: 327_680,
    contextTokensMax: 131_072,
  },
  // Prefill and pull are fitted to two published cells each (8,192 and 32,768; 2,048 and 32,768 tokens); the others test them.
  'gpt-oss-120b-h200': {
    prefill: { fixedMs: 20, msPerToken: 0.025706, msPerTokenPair: 5.787e-7 },
    decode: { stepMs: 6, msPerSequence: 0.06, msPerContextToken: 1.1e-5 },
    kvTokens: 900_000,
    cpuKvTokens: 3_600_000,
    kvBytesPerToken: 73_728,
    contextTokensMax: 131_072,
    transfer: { floorMs: 20.2, bytesPerMs: 17.42e6 },
  },
  // The same model on one H100 of 80 GB: 15 GB are left for KV beside 63 GB of weights.
  'gpt-oss-120b-h100': {
    prefill: { fixedMs: 20, msPerToken: 0.025706, msPerTokenPair: 5.787e-7 },
    decode: { stepMs: 8, msPerSequence: 0.06, msPerContextToken: 1.6e-5 },
    kvTokens: 200_000,
    cpuKvTokens: 1_600_000,
    kvBytesPerToken: 73_728,
    contextTokensMax: 131_072,
  },
  // MFU 0.5 of 121 TFLOPS, 300 GB/s, 24 GB.
  'llama-8b-l4': {
    prefill: { fixedMs: 30, msPerToken: 0.265, msPerTokenPair: 8.7e-6 },
    decode: { stepMs: 76, msPerSequence: 0.2, msPerContextToken: 6.2e-4 },
    kvTokens: 42_000,
    cpuKvTokens: 336_000,
    cpuBytesPerMs: 20e6,
    kvBytesPerToken: 131_072,
    contextTokensMax: 42_000,
    transfer: { floorMs: 5, bytesPerMs: 2.5e6 },
  },
  // MFU 0.5 of 989 TFLOPS, 80 GB.
  'llama-8b-h100': {
    prefill: { fixedMs: 20, msPerToken: 1 / 31, msPerTokenPair: 1.06e-6 },
    decode: { stepMs: 7, msPerSequence: 0.05, msPerContextToken: 5.6e-5 },
    kvTokens: 400_000,
    cpuKvTokens: 1_600_000,
    kvBytesPerToken: 131_072,
    contextTokensMax: 131_072,
  },
}

/** GPUs of one endpoint. */
const GPUS: Readonly<Record<string, number>> = { 'qwen3-32b-tp2-h100': 2, 'llama-70b-tp4-h100': 4 }

export function gpusOf(profileName: string): number {
  return GPUS[profileName] ?? 1
}

export const PROFILE_NAMES: readonly string[] = Object.keys(RAW)

/** A profile with some fields replaced; throws a zod error that names the field. */
export function makeProfile(name: string, blockTokens: number, overrides: object): EngineProfile {
  const base: object = RAW[name] ?? {}
  return engineProfileSchema.parse({ ...base, blockTokens, ...overrides })
}
