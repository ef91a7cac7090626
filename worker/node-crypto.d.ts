/**
 * The part of `node:crypto` that the edge uses. The types of Node would bring all its globals, most of which workerd lacks;
 * the module itself is there from compatibility date 2026-08-04 on.
 */
declare module 'node:crypto' {
  interface Digesting {
    update(data: string | Uint8Array): Digesting
    digest(): Uint8Array
    digest(encoding: 'hex' | 'base64url'): string
  }
  export function createHash(algorithm: 'sha256'): Digesting
  export function createHmac(algorithm: 'sha256', key: string): Digesting
  export function randomBytes(size: number): { toString(encoding: 'base64url'): string }
}
