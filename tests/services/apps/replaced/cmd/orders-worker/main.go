package main

import "example.com/ids"

func main() { println(ids.New()) }
