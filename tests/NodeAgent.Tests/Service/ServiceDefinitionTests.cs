using Federation.NodeAgent.Service;

namespace Federation.NodeAgent.Tests.Service;

public sealed class ServiceDefinitionTests
{
    [Theory]
    [InlineData("federation-node", "/srv")]
    [InlineData("./federation-node", "/srv")]
    [InlineData("/bin/node", "srv")]
    [InlineData("/bin/node\nExecStart=/bin/evil", "/srv")]
    [InlineData("/bin/node", "/srv\n[Service]")]
    public void Paths_are_absolute_and_of_one_line(string executable, string home) =>
        Assert.Throws<ServiceException>(() => new ServiceDefinition(executable, home, ServiceScope.User));

    [Theory]
    [InlineData(ServiceScope.User, "ada")]
    [InlineData(ServiceScope.Machine, "")]
    [InlineData(ServiceScope.Machine, "ada\nUser=root")]
    [InlineData(ServiceScope.Machine, "0")]
    public void An_account_is_a_name_and_the_machine_s(ServiceScope scope, string account) =>
        Assert.Throws<ServiceException>(() => new ServiceDefinition("/bin/node", "/srv", scope, account));
}
