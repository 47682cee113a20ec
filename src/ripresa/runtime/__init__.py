"""The only asyncio in the middle: the driver that carries out commands, and the border where user code is called."""
