// The built program for browser tests: started on a store of its own, ended by its own process id.
import { spawn, spawnSync } from 'node:child_process'
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const binary = process.env.WEIR_BIN ?? resolve(process.env.CARGO_TARGET_DIR ?? 'target', 'debug/weir')

// Starts `weir ARGUMENTS` (default: serve) and waits for its first line. `greeting` is that line's object.
export async function startProgram(args = ['serve'], extra = {}) {
  if (!existsSync(binary)) throw new Error(`${binary} is not there: run scripts/build dev, or set WEIR_BIN`)
  const folder = mkdtempSync(join(tmpdir(), 'weir-browser-'))
  const env = {
    PATH: process.env.PATH, HOME: folder, TMPDIR: tmpdir(), WEIR_DATA: join(folder, 'data'),
    WEIR_ADDR: '127.0.0.1:0', WEIR_EGRESS_ALLOW: '127.0.0.0/8', WEIR_LOG: 'info', RUST_BACKTRACE: '1', ...extra,
  }
  const log = join(folder, 'weir.log')
  const child = spawn(binary, [...args, '--json'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  child.stderr.pipe(createWriteStream(log))
  const lines = createInterface({ input: child.stdout })
  const ended = once(child, 'exit')
  const first = await Promise.race([
    once(lines, 'line').then(([line]) => line),
    ended.then(([code]) => { throw new Error(`weir ended with ${code} before it said where it listens:\n${readFileSync(log, 'utf8')}`) }),
  ])
  const greeting = JSON.parse(first)
  const url = greeting.url.replace(/\/$/, '')
  return {
    greeting, url, folder,
    log: () => readFileSync(log, 'utf8'),
    // A command on the same store; its `--json` answer.
    weir(...words) {
      const answer = spawnSync(binary, [...words, '--json'], { cwd: folder, env, encoding: 'utf8' })
      if (answer.status !== 0) throw new Error(`weir ${words.join(' ')} ended with ${answer.status}: ${answer.stderr}`)
      return JSON.parse(answer.stdout)
    },
    // A tenant by the operator's command; `owner_path` leads to its owner at the running server.
    tenant(name) {
      const answer = this.weir('tenant', 'create', name, '--owner', `owner@${name}.test`)
      return { ...answer.tenant, email: `owner@${name}.test`, ownerLink: url + answer.owner_path }
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
