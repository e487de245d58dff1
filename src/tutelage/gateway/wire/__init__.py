"""The OpenAI wire: requests as they come in, replies as clients expect them."""
