// Command authserver runs the authorization server. `authserver rotate-keys`
// gives one that runs a new signing key, `authserver audit-verify` checks its
// audit trail.
package main

import (
	"os"

	"demo.example/services/authserver"
	"demo.example/services/internal/service"
)

func main() {
	run := authserver.Run
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "rotate-keys":
			run = authserver.RotateKeys
		case "audit-verify":
			run = authserver.AuditVerify(os.Args[2:])
		}
	}
	service.Main("authserver", run)
}
