// Command stocksapi serves stock prices by region. See package stocksapi.
package main

import (
	"demo.example/services/internal/service"
	"demo.example/services/stocksapi"
)

func main() { service.Main("stocksapi", stocksapi.Main) }
