package deploy

import (
	"slices"
	"strings"
)

// passed are the settings of the services (docs/configuration.md) that
// `make up NAME=value` hands on, by service: what people may want otherwise
// than by default. compose.yaml has the same list.
var passed = map[string][]string{
	"gateway": {
		"LOG_LEVEL", "TOKEN_CACHE_TTL", "TOKEN_CACHE_BYTES", "UPSTREAM_CONCURRENCY",
		"REQUESTS_PER_USER", "REQUESTS_PER_CLIENT", "REFUSALS_PER_IP", "ALLOWED_ORIGINS",
	},
	"authserver": {
		"LOG_LEVEL", "MAIL_FROM", "ALLOWED_ORIGINS", "KEY_LIFETIME", "AUDIT_RETENTION", "AUDIT_MAX_EVENTS",
		"PASSCODES_PER_ADDRESS", "PASSCODES_PER_IP", "PASSCODES_TOTAL",
		"AUTHORIZATIONS_PER_IP", "REGISTRATIONS_PER_IP", "REGISTRATIONS_TOTAL",
	},
	"stocksmcp": {"LOG_LEVEL"},
	"stocksapi": {"LOG_LEVEL"},
	"mail":      {"LOG_LEVEL", "MAX_MESSAGES"},
}

// decided are the other settings of the services: the deployment chooses names,
// addresses and files so that its parts find one another.
var decided = []string{
	"LISTEN_ADDR", "HEALTH_LISTEN_ADDR", "SMTP_LISTEN_ADDR", "SMTP_ADDR", "CLIENT_HOST_ADDR",
	"AUTHSERVER_URL", "STOCKSMCP_URL", "STOCKSAPI_URL", "MAIL_URL",
	"TLS_CERT_FILE", "TLS_KEY_FILE", "INTERNAL_CERT_FILE", "INTERNAL_KEY_FILE", "INTERNAL_CA_FILE", "CA_FILE",
	"CLIENT_SECRET_FILE", "SECRETS_DIR", "DATABASE_FILE", "AUDIT_FILE", "ORDERS_FILE", "MAILHOG_BIN",
	"USERS_FILE", "CLIENTS_FILE", // files of this machine, which no container sees
}

// passedNames returns every setting that is handed on, once.
func passedNames() []string {
	var all []string
	for _, names := range passed {
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// readPassed returns the settings for the services that environ has, and of
// those that it lacks what the last `up` recorded. An empty one takes the
// default back.
func readPassed(environ []string, last *Deployment) map[string]string {
	found := map[string]string{}
	for _, name := range passedNames() {
		value := lookup(environ, name)
		if last != nil && !slices.ContainsFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }) {
			value = last.Settings[name]
		}
		if value != "" {
			found[name] = value
		}
	}
	return found
}

// tellPassed says what differs from the defaults, and what of the environment
// has no effect.
func (t *Tool) tellPassed() {
	if len(t.Passed) > 0 {
		t.say("Settings: %s (kept until `make clean`; `make up NAME=` takes the default of one back).", strings.Join(environOf(t.Passed), ", "))
	}
	for _, name := range decided {
		if lookup(t.Environ, name) != "" {
			t.say("%s has no effect: the deployment decides it (docs/configuration.md).", name)
		}
	}
}
