// Program imported depends on what is vulnerable and never calls it: a scan by
// symbol has nothing to report.
package main

import "golang.org/x/text/language"

func main() { println(language.English.String()) }
