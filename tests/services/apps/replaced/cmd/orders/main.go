package main

import (
	"log"
	"net/http"

	"example.com/ids"
	"github.com/go-chi/chi/v5"
)

func main() {
	routes := chi.NewRouter()
	routes.Get("/readyz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ready")) })
	routes.Get("/new", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(ids.New())) })
	log.Fatal(http.ListenAndServe(":7000", routes))
}
