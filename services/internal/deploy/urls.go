package deploy

import (
	"fmt"

	"demo.example/services/internal/certs"
)

// summary tells what there is now and what to do with it.
func (t *Tool) summary(pki certs.Result) {
	fmt.Fprintf(t.Out, `
  Start here    %s
  MCP endpoint  %s
  Issuer        %s
  Stocks API    %s
  Inbox         %s  (one-time passcodes arrive here)
  Admin         %s  (for admin@demo.example)

  Users         john.doe@demo.example (USA), jane.test@demo.example (Europe), admin@demo.example (administrator)

  Trust         make trust                       (browsers and curl; how for others: certs/README.md)
                export NODE_EXTRA_CA_CERTS=%s   (Node)

  Next          make tour     walks through the whole flow and shows every step
                make down     stops it
`,
		t.Origin("")+"/", t.MCPResource(), t.Issuer(), t.APIResource()+"/stocks", t.Origin("mail")+"/", t.Origin("admin")+"/admin", pki.CAFile)
}
