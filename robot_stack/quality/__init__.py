"""What is wrong with these demonstrations, as advice: nothing is ever dropped because of it."""
