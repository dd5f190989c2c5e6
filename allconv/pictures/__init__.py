"""Pictures: how a network takes them, and maps laid over them."""
