"""What serves Ripresa to others: to agents of elsewhere by A2A, to clients of the Model Context Protocol."""
