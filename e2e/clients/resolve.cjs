// Node leaves names to the system, and not every system knows *.localhost.
// Loaded with --require, this answers for the deployment's names as the line
// in the hosts file would that `make up` prints. The clients are as they were.
const dns = require('node:dns')

const domain = process.env.DOMAIN
const lookup = dns.lookup

dns.lookup = (name, options, callback) => {
  if (name !== domain && !name.endsWith('.' + domain)) return lookup(name, options, callback)
  const done = callback ?? options
  process.nextTick(() => (options?.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)))
}
