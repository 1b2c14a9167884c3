// Chromium by playwright-core: contexts as the suites need them, and what every page must hold.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { spawnSync } from 'node:child_process'

const cache = process.env.WEIR_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weir')
const modules = process.env.WEIR_NODE_MODULES ?? join(cache, 'node/node_modules')
const require = createRequire(join(modules, 'here.js'))
const { chromium } = require('playwright-core')
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const shots = process.env.WEIR_SHOTS ?? resolve(process.env.CARGO_TARGET_DIR ?? 'target', 'shots')

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync']
export const PASSWORD = 'correct horse battery staple'

function executable() {
  if (process.env.WEIR_CHROMIUM) return process.env.WEIR_CHROMIUM
  for (const name of ['chromium', 'google-chrome', 'chromium-browser']) {
    const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim()
    if (found) return found
  }
  throw new Error('no Chromium: run scripts/setup test, or set WEIR_CHROMIUM')
}

export async function startBrowser() {
  const browser = await chromium.launch({ executablePath: executable(), args: FLAGS })
  return {
    // A person: { scripts: false } turns JavaScript off, { dark: true }, { width, height }, { zoom: 2 }, { forced: true } for
    // colours of the person's own, { motion: true } for one who did not ask for less of it.
    async person({ scripts = true, dark = false, width = 1280, height = 800, zoom = 1, forced = false, motion = false, cookies } = {}) {
      const context = await browser.newContext({
        javaScriptEnabled: scripts, colorScheme: dark ? 'dark' : 'light', reducedMotion: motion ? 'no-preference' : 'reduce',
        forcedColors: forced ? 'active' : 'none',
        viewport: { width: Math.round(width / zoom), height: Math.round(height / zoom) }, deviceScaleFactor: zoom,
        serviceWorkers: 'block',
      })
      if (cookies) await context.addCookies(cookies)
      context.setDefaultTimeout(15_000)
      const page = await context.newPage()
      return { context, page, troubles: watch(page) }
    },
    close: () => browser.close(),
  }
}

// Collects what a healthy page never has: script errors, console errors and warnings, failed requests, foreign hosts.
// Chromium logs every 4xx page as a console error, so the suites that ask for one look at its status instead.
function watch(page) {
  const troubles = []
  page.on('pageerror', error => troubles.push(`script error: ${error.message}`))
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) troubles.push(`console ${message.type()}: ${message.text()} (${message.location().url})`)
  })
  page.on('requestfailed', request => {
    // Leaving a page ends its streams; that is no failure.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') troubles.push(`failed: ${request.url()} ${request.failure()?.errorText}`)
  })
  page.on('response', response => { if (response.status() >= 500) troubles.push(`${response.status()}: ${response.url()}`) })
  page.on('request', request => {
    const url = new URL(request.url())
    if (url.protocol.startsWith('http') && !['127.0.0.1', 'localhost'].includes(url.hostname)) troubles.push(`foreign host: ${request.url()}`)
  })
  return troubles
}

export function assertHealthy(troubles) { assert.deepEqual(troubles, []) }

// Uses a sign-in or first-owner link: fills and sends the form that it leads to. Ends on the tenant's page.
export async function signIn(page, link, { email, password = PASSWORD, tenant } = {}) {
  await page.goto(link)
  if (!new URL(page.url()).pathname.startsWith('/t/')) {
    const fill = async (name, value) => {
      const field = page.locator(`main [name="${name}"]:not([type=hidden])`)
      if (value !== undefined && await field.count()) await field.first().fill(value)
    }
    await fill('email', email)
    await fill('password', password)
    await fill('tenant', tenant)
    await page.locator('main form [type=submit], main form button:not([type=button])').first().click()
    await page.waitForURL('**/t/**')
  }
}

// The client has taken over. Only with scripts.
export async function hydrated(page) { await page.waitForSelector('html[data-hydrated]', { state: 'attached' }) }

// A picture for people to look at: NAME.png in the folder of this run.
export async function shot(page, name, { full = true } = {}) {
  mkdirSync(shots, { recursive: true })
  const path = join(shots, `${name}.png`)
  await page.screenshot({ path, fullPage: full })
  return path
}

// WCAG 2.2 A and AA by axe: nothing found.
export async function assertAccessible(page) {
  await page.evaluate(axeSource)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }))
  const found = violations.map(rule => `${rule.id} (${rule.impact}): ${rule.help}\n` +
    rule.nodes.slice(0, 5).map(node => `    ${node.target.join(' ')}: ${node.failureSummary?.split('\n').slice(1).join('; ').trim()}`).join('\n'))
  assert.equal(found.length, 0, `axe on ${page.url()}:\n${found.join('\n')}`)
}

// Nothing sticks out sideways: the page scrolls down only.
export async function assertNoSidewaysScroll(page) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth])
  assert.ok(content <= window, `${page.url()} is ${content} px wide in a window of ${window} px`)
}
