// Gateway is the one public door of the deployment.
package main

import (
	"demo.example/services/gateway"
	"demo.example/services/internal/service"
)

func main() { service.Main("gateway", gateway.Main) }
