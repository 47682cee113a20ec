"""An MCP server for tests, in this process; see also `mcp_program`."""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import AudioContent, EmbeddedResource, ResourceLink, TextContent, TextResourceContents, ToolAnnotations

PIXEL = b"\x89PNG..."


def fixture(calls: list[str] | None = None) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer("fixture", log_level="ERROR")
    made = [] if calls is None else calls

    @server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
    def read(path: str) -> str:
        """Read a file."""
        made.append(f"read {path}")
        return f"text of {path}"

    @server.tool(annotations=ToolAnnotations(idempotent_hint=True, destructive_hint=True), structured_output=False)
    def write(path: str, text: str) -> str:
        """Write a file."""
        made.append(f"write {path}")
        return "written"

    @server.tool(name="delete/all", structured_output=False)
    def delete(path: str) -> str:
        """Delete."""
        made.append(f"delete {path}")
        return "deleted"

    @server.tool()
    def add(a: int, b: int) -> dict[str, int]:
        """Add."""
        return {"sum": a + b}

    @server.tool(structured_output=False)
    def fail(why: str) -> str:
        raise ToolError(why)

    @server.tool(structured_output=False)
    def show() -> list[Any]:
        return [
            "a picture",
            Image(data=PIXEL, format="png"),
            AudioContent(type="audio", data="AAAA", mime_type="audio/wav"),
            ResourceLink(type="resource_link", name="more", uri="file:///more"),
            EmbeddedResource(
                type="resource", resource=TextResourceContents(uri="file:///in", text="in it", mime_type="text/plain")
            ),
        ]

    @server.tool(structured_output=False)
    async def steps(count: int, ctx: Context) -> list[TextContent]:
        for number in range(count):
            await ctx.report_progress(number + 1, count, f"step {number + 1}")
        meta = ctx.request_context.meta or {}
        return [TextContent(type="text", text=str(dict(meta).get("ripresa/idempotency-key", "")))]

    return server
