"""What people write: steps, chains, graphs, durable functions; pure, like the core that it builds on."""
