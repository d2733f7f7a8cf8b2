package certs

import "strings"

// TrustHelp says how to make each system and each client trust caFile. The
// text is Markdown that reads well in a terminal; certs/README.md contains it.
func TrustHelp(caFile string) string {
	return strings.NewReplacer("CA.pem", caFile, `CA-windows.pem`, strings.ReplaceAll(caFile, "/", `\`)).Replace(trustHelp)
}

const trustHelp = `For everything at once, run "make trust" (and later "make untrust"). It covers
the system, Firefox and Chromium where certutil is installed, and Java where
JAVA_HOME is set. By hand, for one system:

    macOS           sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain CA.pem
    Debian, Ubuntu  sudo cp CA.pem /usr/local/share/ca-certificates/demo-local-ca.crt && sudo update-ca-certificates
    Fedora, RHEL    sudo cp CA.pem /etc/pki/ca-trust/source/anchors/demo-local-ca.pem && sudo update-ca-trust
    Windows         certutil -addstore -user -f ROOT CA-windows.pem

Browsers on macOS and Windows use the system's store. On Linux they have their
own, which certutil (package libnss3-tools or nss-tools) writes to while the
browser is closed:

    Chrome, Chromium  mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n demo-local-ca -i CA.pem
    Firefox           Settings, Privacy & Security, View Certificates, Authorities, Import: CA.pem

Or tell one client alone, and change nothing on the system:

    curl     curl --cacert CA.pem …
    Node     NODE_EXTRA_CA_CERTS=CA.pem in the environment, before node starts (npx, MCP Inspector and mcp-remote too);
             an absolute path where the program starts in another directory
    Go       SSL_CERT_FILE=CA.pem in the environment, on Linux; it replaces the system's authorities.
             On macOS and Windows Go uses the system's store
    Python   SSL_CERT_FILE=CA.pem, or REQUESTS_CA_BUNDLE=CA.pem for requests; both replace the other authorities
    Java     keytool -importcert -noprompt -alias demo-local-ca -file CA.pem -keystore demo.p12 -storetype PKCS12 -storepass changeit
             java -Djavax.net.ssl.trustStore=demo.p12 -Djavax.net.ssl.trustStorePassword=changeit …
`
