//! A small blocking client: RESP2 and RESP3 over TCP and unix sockets.
