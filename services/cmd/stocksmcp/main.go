// Command stocksmcp serves stock prices over MCP. See package stocksmcp.
package main

import (
	"demo.example/services/internal/service"
	"demo.example/services/stocksmcp"
)

func main() { service.Main("stocksmcp", stocksmcp.Main) }
