// Command mail runs the development mail server.
package main

import (
	"demo.example/services/internal/service"
	"demo.example/services/mail"
)

func main() { service.Main("mail", mail.Run) }
