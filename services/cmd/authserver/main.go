// Command authserver runs the authorization server.
package main

import (
	"demo.example/services/authserver"
	"demo.example/services/internal/service"
)

func main() { service.Main(authserver.Run) }
