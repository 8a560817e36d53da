// A client of nkv in Go: put, get, and the changes below a key.
//
//	go run nkv.go 127.0.0.1:4222
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
)

// ask sends one request on a connection of its own and returns the reply.
func ask(address, request string) string {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprintln(connection, request)
	reply, err := bufio.NewReader(connection).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(reply)
}

func main() {
	address := "127.0.0.1:4222"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	subscription, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	// VALUE asks for what is there already.
	fmt.Fprintln(subscription, "SUB 1 example lamps VALUE")
	news := bufio.NewScanner(subscription)
	hear := func() {
		if !news.Scan() {
			log.Fatal("the server has closed")
		}
		fmt.Println(news.Text())
	}
	hear()

	on := base64.StdEncoding.EncodeToString([]byte("on"))
	fmt.Println(ask(address, "PUT 2 example lamps.kitchen "+on))
	hear()
	fmt.Println(ask(address, "GET 3 example lamps.*"))
	fmt.Println(ask(address, "DEL 4 example lamps.kitchen"))
	hear()
}
