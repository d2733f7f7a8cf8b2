// Command demo is the operator's tool behind the Makefile: it starts, stops
// and inspects the deployment. See `demo help`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"demo.example/services/internal/deploy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := deploy.Main(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
