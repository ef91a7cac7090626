/**
 * The parts of `node:crypto` and `node:buffer` that the edge uses. The types of Node would bring all its globals, most of which workerd lacks;
 * the modules themselves are there from compatibility date 2026-08-04 on.
 */
declare module 'node:crypto' {
  interface Digesting {
    update(data: string | Uint8Array): Digesting
    digest(): Uint8Array
    digest(encoding: 'hex' | 'base64url'): string
  }
  export function createHash(algorithm: 'sha256'): Digesting
  export function createHmac(algorithm: 'sha256', key: string): Digesting
  export function randomBytes(size: number): { toString(encoding: 'base64url' | 'hex'): string }
}

declare module 'node:buffer' {
  export const Buffer: {
    from(text: string, encoding?: 'utf8' | 'base64url'): { toString(encoding?: 'utf8' | 'base64url'): string }
    from(
      bytes: ArrayBufferLike,
      byteOffset?: number,
      length?: number,
    ): {
      toString(encoding: 'base64url' | 'hex'): string
      toString(encoding: 'utf16le', start: number, end: number): string
      write(text: string, encoding: 'utf16le'): number
    }
  }
}
