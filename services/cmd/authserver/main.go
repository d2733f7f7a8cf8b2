// Command authserver runs the authorization server. `authserver rotate-keys`
// gives one that runs a new signing key.
package main

import (
	"os"

	"demo.example/services/authserver"
	"demo.example/services/internal/service"
)

func main() {
	run := authserver.Run
	if len(os.Args) > 1 && os.Args[1] == "rotate-keys" {
		run = authserver.RotateKeys
	}
	service.Main(run)
}
