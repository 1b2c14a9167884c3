// Suite: the console starts in a real browser, with and without scripts, and is healthy, accessible and narrow enough.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { assertAccessible, assertHealthy, assertNoSidewaysScroll, hydrated, shot, signIn, startBrowser } from './lib/browser.mjs'
import { startProgram } from './lib/program.mjs'

let program, browser, acme
before(async () => {
  program = await startProgram()
  browser = await startBrowser()
  acme = program.tenant('acme')
})
after(async () => {
  await browser?.close()
  await program?.stop()
})

test('the sign-in page is accessible, light and dark, at any width', async () => {
  for (const dark of [false, true]) {
    for (const width of [320, 1280]) {
      const { context, page, troubles } = await browser.person({ dark, width })
      await page.goto(`${program.url}/sign-in`)
      await hydrated(page)
      await shot(page, `sign-in-${dark ? 'dark' : 'light'}-${width}`)
      await assertAccessible(page)
      await assertNoSidewaysScroll(page)
      assertHealthy(troubles)
      await context.close()
    }
  }
})

test('an owner gets in by the link and the page comes alive', async () => {
  const { context, page, troubles } = await browser.person()
  await signIn(page, acme.ownerLink, { email: acme.email })
  assert.equal(new URL(page.url()).pathname, '/t/acme')
  await hydrated(page)
  await shot(page, 'overview')
  await assertAccessible(page)
  assertHealthy(troubles)
  await context.close()
})

test('an owner gets in without scripts', async () => {
  const { context, page } = await browser.person({ scripts: false })
  await page.goto(`${program.url}/sign-in`)
  await page.fill('main [name="email"]', acme.email)
  await page.fill('main [name="password"]', 'correct horse battery staple')
  await page.locator('main form [type=submit], main form button:not([type=button])').first().click()
  await page.waitForURL('**/t/acme')
  assert.ok(await page.locator('main').count())
  await context.close()
})
